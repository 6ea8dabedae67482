//! All problems there are: the one table that answers, OpenAPI and `/docs` are made from. Codes are stable: a client may
//! match on `type`; a row is never renamed, only added.

/// Before every code in `type`.
pub const PREFIX: &str = "urn:archipel:problem:";

/// One kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The last part of `type`.
    pub code: &'static str,
    /// The status.
    pub status: u16,
    /// The same for every occurrence.
    pub title: &'static str,
    /// When it is given and what to do.
    pub meaning: &'static str,
}

macro_rules! problems {
    ($($name:ident: $status:literal $code:literal, $title:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Row = Row { code: $code, status: $status, title: $title, meaning: $meaning };
        )*
        /// Every row, by status.
        pub const TABLE: &[Row] = &[$($name),*];
    };
}

problems! {
    BAD_JSON: 400 "broken-json", "The body is not JSON", "The body cannot be parsed as JSON: broken, not UTF-8, NaN, or nested deeper than 128 levels.";
    BAD_QUERY: 400 "bad-query", "The query is wrong", "A query parameter is unknown, given twice, or its value is not of its type.";
    BAD_CURSOR: 400 "bad-cursor", "The cursor is not one of ours", "A cursor was changed, cut, or taken from another list, other filters or another user. Start again without it.";
    BAD_HEADER: 400 "bad-header", "A header is wrong", "A header such as If-Match or Idempotency-Key has not its form.";
    BAD_BODY: 400 "bad-body", "The body did not arrive whole", "The connection broke before the body was there.";
    UNAUTHENTICATED: 401 "unauthenticated", "Not authenticated", "No token, or one that is forged, expired, revoked or for another site. POST /v1/tokens makes one.";
    FORBIDDEN: 403 "forbidden", "Forbidden", "Who asks is known and may not do this; detail has the policy's reason.";
    NOT_FOUND: 404 "not-found", "Not found", "Unknown, of another kind, or not yours: all look the same.";
    METHOD_NOT_ALLOWED: 405 "method-not-allowed", "Method not allowed", "The path exists, this method does not; Allow lists those that do.";
    REQUEST_TIMEOUT: 408 "request-timeout", "The body took too long", "The body did not arrive within the site's limit.";
    CONFLICT: 409 "conflict", "Conflict", "It contradicts the present state.";
    DEPENDANTS: 409 "dependants", "Others rest on it", "Orders rest on this one; `dependants` lists them. Delete them first, or use ?cascade=true.";
    QUOTA_EXCEEDED: 409 "quota-exceeded", "The cloud's quota is used up", "The cloud has no room for this account.";
    LIMIT_EXCEEDED: 409 "limit-exceeded", "The site's limit is reached", "A limit that the site's administrator set is reached.";
    PRECONDITION_FAILED: 412 "precondition-failed", "Precondition failed", "It changed since the version named by If-Match. Read it again.";
    TOO_LARGE: 413 "too-large", "The body is too large", "The body is larger than `limit_bytes`.";
    UNSUPPORTED_MEDIA_TYPE: 415 "unsupported-media-type", "Unsupported media type", "The body is not of a type that this method takes; send application/json.";
    INVALID: 422 "invalid", "Invalid", "Parsable, but wrong: a type, a range, an unknown field. `field` names it.";
    UNKNOWN_CLOUD: 422 "unknown-cloud", "Unknown cloud", "This site has no such cloud.";
    UNKNOWN_SITE: 422 "unknown-site", "Unknown site", "Not a site that this one may ask.";
    DEADLINE_PASSED: 422 "deadline-passed", "The deadline has passed", "A deadline must be in the future.";
    UNSUPPORTED: 422 "unsupported", "Unsupported", "No plugin of this cloud can do it.";
    CLOUD_REFUSED: 422 "cloud-refused", "The cloud refused", "The cloud answered with an error that will not go away by itself.";
    KEY_REUSED: 422 "idempotency-key-reused", "Idempotency-Key used before", "This Idempotency-Key came with another body before. Take a new one.";
    PRECONDITION_REQUIRED: 428 "precondition-required", "Precondition required", "Send If-Match with the ETag of what you saw.";
    TOO_MANY_REQUESTS: 429 "too-many-requests", "Too many requests", "The site is at its limit, or (`reason`: `cloud-backlog`) too many orders wait for that cloud; come back after Retry-After.";
    INTERNAL: 500 "internal", "Internal error", "A defect of Archipel. The instance of the problem finds the log line.";
    UNAVAILABLE: 503 "unavailable", "Unavailable", "Something is away, a cloud or a plugin; come back after Retry-After.";
    AAA_UNAVAILABLE: 503 "aaa-unavailable", "Users cannot be judged now", "A plugin that judges users is away. Nobody is let in meanwhile; the administrator's socket still works.";
    STORE_UNAVAILABLE: 503 "store-unavailable", "The store cannot be used now", "The disk is full, read-only or too slow.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_fit_a_urn() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(row.code.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", row.code);
            assert!(TABLE.iter().skip(at + 1).all(|other| other.code != row.code), "{} twice", row.code);
        }
    }
}
