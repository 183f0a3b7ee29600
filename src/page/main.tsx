/** The script of the page: reads what it holds, and draws it. */
import { render } from 'preact';
import { App } from './app.tsx';
import { embeddedFacts, embeddedTrace, follow } from './source.ts';

const facts = embeddedFacts();
const { story, complaint } = await embeddedTrace();
const root = document.getElementById('app')!;
root.replaceChildren();

function draw(): void {
  render(<App story={story} facts={facts} complaint={complaint} />, root);
}

draw();
document.documentElement.dataset['drawn'] = 'yes';
if (facts.live) follow(story, `events${location.search}`, draw);
