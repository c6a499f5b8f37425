// Calls the API as a front end does, with openapi-fetch and the types that openapi-typescript makes of openapi.json.
//
// Prints one line of JSON with the answers. Usage: node generated.js URL NAME PASSWORD
import createClient from "openapi-fetch";
import type { components, paths } from "./users";

declare const process: { argv: string[] };
declare const console: { log(text: string): void };

const [url = "", name = "", password = ""] = process.argv.slice(2);
const users = createClient<paths>({ baseUrl: url });

const person: components["schemas"]["Registration"] = {
  first_name: "Grace",
  last_name: "Hopper",
  email: `${name}@example.com`,
  credentials: { username: name, secret: password },
  tags: ["navy"],
  metadata: { locale: "de", ships: [1, 2], rank: { since: 1985 } },
};
const registered = await users.POST("/users", { body: person });
if (registered.error) {
  throw new Error(registered.error.message);
}

const login = await users.POST("/users/tokens/issue", { body: { identity: person.email, secret: password } });
if (login.error) {
  throw new Error(login.error.message);
}
const headers = { Authorization: `Bearer ${login.data.access_token}` };
const profile = await users.GET("/users/profile", { headers });
if (profile.error) {
  throw new Error(profile.error.message);
}
const locale: unknown = profile.data.metadata?.locale;

const stranger = await users.GET("/users/profile");
const again = await users.POST("/users", { body: person });
const taken: boolean = again.error?.error === "username_taken" || again.error?.error === "email_taken";
const refused = await users.POST("/users", { body: { ...person, email: "nobody", first_name: "" } });
const fields: Record<string, string> = {};
for (const detail of refused.error?.details ?? []) {
  fields[detail.field] = detail.message;
}

console.log(
  JSON.stringify({
    id: registered.data.id === profile.data.id,
    locale,
    stranger: [stranger.response.status, stranger.error?.error, stranger.error?.message],
    again: [again.response.status, taken],
    refused: [refused.response.status, fields],
  }),
);
