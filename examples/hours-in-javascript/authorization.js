// An authorization in JavaScript, from wit/ alone: orders are taken within some hours of the day (UTC); at any time users may
// look at what is theirs, and delete it. The same policy in Rust is in sdk/README.md.
import { get as config } from "archipel:host/config@0.1.0";
import { write as log } from "archipel:host/log@0.1.0";

const HOUR_MS = 3_600_000n;

function judge({ from, until }, context) {
  const hour = Number((context.now / HOUR_MS) % 24n);
  if (context.operation === "admin") {
    return deny("nobody manages the site by REST; use the administrator's socket");
  }
  if (["create", "act"].includes(context.operation) && (hour < from || hour >= until)) {
    return deny(`orders are taken from ${from} to ${until} o'clock UTC; come back then`);
  }
  return { tag: "allow", val: { reach: "own", obligations: [], validForMs: undefined } };
}

function deny(reason) {
  log("info", reason, []);
  return { tag: "deny", val: { reason, obligations: [] } };
}

export const authorization = {
  isAuthorized(user, resource, context) {
    return judge(JSON.parse(config()), context);
  },
  areAuthorized(user, resources, context) {
    const hours = JSON.parse(config());
    return resources.map(() => judge(hours, context));
  },
};
