/** The script of the page: reads what it holds, and draws it. */
import { render } from 'preact';
import { App } from './app.tsx';
import { embeddedFacts, embeddedTrace } from './source.ts';

const facts = embeddedFacts();
const { story, complaint } = await embeddedTrace();
const root = document.getElementById('app')!;
root.replaceChildren();

render(<App story={story} facts={facts} complaint={complaint} />, root);
document.documentElement.dataset['drawn'] = 'yes';
