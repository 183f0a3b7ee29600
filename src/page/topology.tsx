/** The machine, and who was attached where. */
import type { ViewProps } from './ui.ts';

export function Topology({ facts, story, go }: ViewProps) {
  const domains = [...story.domains.entries()];
  return (
    <section aria-label="Topology">
      {facts.topology === undefined ? (
        <p>The trace does not say what the machine was: `run --report` does.</p>
      ) : (
        <pre>{facts.topology}</pre>
      )}
      <h2>Domains</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Domain</th>
            <th scope="col">Devices</th>
            <th scope="col">Mappings made</th>
            <th scope="col">Left at the end</th>
          </tr>
        </thead>
        <tbody>
          {domains.map(([key, { name, devices, addresses }]) => (
            <tr key={key}>
              <td>
                <button
                  type="button"
                  class="link"
                  onClick={() => go({ view: 'addresses', domain: key })}
                >
                  {name}
                </button>
              </td>
              <td>{[...devices].join(', ') || 'none'}</td>
              <td>{addresses.mappings.length}</td>
              <td>{addresses.mappings.filter(({ to }) => to === undefined).length}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
