// A real OpenID Connect provider on loopback, for tests: anybody signs in with any password, and the claims are as `people` says.
// Says {"issuer": …} on its standard output once it listens; ends when its standard input does.
import { createServer } from 'node:http';
import Provider, { errors } from 'oidc-provider';

const { client, people, resources = [] } = JSON.parse(process.env.PROVIDER);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ ...client, response_types: ['code'], grant_types: ['authorization_code'] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      backchannelLogout: { enabled: true },
      // applications register themselves, and access tokens for `resources` are JWTs (RFC 7591, 8707, 9068)
      registration: { enabled: resources.length > 0 },
      resourceIndicators: {
        enabled: resources.length > 0,
        getResourceServerInfo: (_, resource) => {
          if (!resources.includes(resource)) throw new errors.InvalidTarget();
          return { scope: 'question:ask document:read', audience: resource, accessTokenFormat: 'jwt' };
        },
      },
    },
    // it reaches no address of this machine by itself, and the server under test is on this machine
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
