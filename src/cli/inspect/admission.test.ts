/** Who may look at a run, and who is turned away. */
import { describe, expect, test } from 'vitest';
import { admit } from './admission.ts';

const PORT = 4711;
const TOKEN = '0123456789abcdef0123456789abcdef';
const HOST = `127.0.0.1:${PORT}`;
const ask = (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') =>
  admit({ method, path, headers: { host: HOST, ...headers } }, PORT, TOKEN);

describe('is let in', () => {
  test.each([
    [`/${TOKEN}/`, {}, ''],
    [`/${TOKEN}/events`, {}, 'events'],
    [`/${TOKEN}/`, { host: `localhost:${PORT}` }, ''],
    [`/${TOKEN}/events`, { origin: `http://${HOST}`, 'sec-fetch-site': 'same-origin' }, 'events'],
    [`/${TOKEN}/`, { 'sec-fetch-site': 'none' }, ''],
  ])('%s with %o', (path, headers, resource) => {
    expect(ask(path, headers)).toEqual({ resource });
  });
});

test.each(['127.0.0.1', 'localhost', '127.0.0.1:80'])('is let in at port 80: %s', (host) => {
  const headers = { host, origin: `http://${host}` };
  expect(admit({ method: 'GET', path: `/${TOKEN}/`, headers }, 80, TOKEN)).toEqual({
    resource: '',
  });
});

describe('is turned away', () => {
  test.each([
    ['a name that leads here', { host: `evil.example:${PORT}` }],
    ['a name that begins as ours', { host: `127.0.0.1:${PORT}.evil.example` }],
    ['another port', { host: '127.0.0.1:80' }],
    ['no port', { host: '127.0.0.1' }],
    ['no name', { host: '' }],
    ['another page', { origin: 'http://evil.example' }],
    ['another page on this machine', { origin: 'http://127.0.0.1:8080' }],
    ['a page of a file', { origin: 'null' }],
    ['the other name of ours', { origin: `http://localhost:${PORT}` }],
    ['a page of another scheme', { origin: `https://${HOST}` }],
    ['an image of another page', { 'sec-fetch-site': 'cross-site' }],
    ['a link of a neighbour', { 'sec-fetch-site': 'same-site' }],
  ])('%s, with the token', (_who, headers) => {
    expect(ask(`/${TOKEN}/`, headers)).toEqual({ status: 403 });
  });
  test.each([
    '/',
    '',
    '/events',
    `/${TOKEN}`,
    `/${TOKEN.slice(1)}/`,
    `/${TOKEN}0/`,
    `/${TOKEN.toUpperCase()}/`,
    `//${TOKEN}/`,
    `/%30${TOKEN.slice(1)}/`,
    `http://${HOST}/${TOKEN}/`,
    '*',
  ])('whoever does not know the address: %s', (path) => {
    expect(ask(path)).toEqual({ status: 404 });
  });
  test.each(['POST', 'PUT', 'OPTIONS', 'HEAD', 'CONNECT', ''])('%s', (method) => {
    expect(ask(`/${TOKEN}/`, {}, method)).toEqual({ status: 405 });
    expect(ask('/', {}, method)).toEqual({ status: 404 });
  });
});
