//! What a project can see and what seldom changes: flavours, images, networks, volume types.
//!
//! It lives in the memory of a warm instance, which serves many users; so nothing is kept but what the key's project
//! sees, and the key is (endpoint, project). Flavours can be private to a project, images to an owner. Both counts and
//! ages are bounded: an entry is at most `cache_s` old, and of more than [`MOST`] projects the oldest goes.

use archipel_sdk::Result;
use std::cell::RefCell;
use std::rc::Rc;
use std::thread::LocalKey;

/// Projects that one instance remembers.
const MOST: usize = 64;

/// Answers by key.
pub(crate) type Cache<T> = RefCell<Vec<Entry<T>>>;

/// One answer.
pub(crate) struct Entry<T> {
    key: String,
    asked_at: u64,
    value: Rc<T>,
}

/// A view that may be old, and says so.
pub(crate) struct Cached<T> {
    pub(crate) value: Rc<T>,
    /// It was asked for just now.
    pub(crate) is_fresh: bool,
}

/// The answer under `key`, asked for anew when it is `ttl_ms` old.
///
/// # Errors
/// Those of `ask`; they are not kept.
pub(crate) fn get<T>(
    cache: &'static LocalKey<Cache<T>>,
    key: String,
    now_ms: u64,
    ttl_ms: u64,
    ask: impl FnOnce() -> Result<T>,
) -> Result<Cached<T>> {
    let held = cache.with_borrow(|entries| {
        let held = entries.iter().find(|entry| entry.key == key)?;
        (now_ms.saturating_sub(held.asked_at) < ttl_ms).then(|| Rc::clone(&held.value))
    });
    match held {
        Some(value) => Ok(Cached { value, is_fresh: false }),
        None => Ok(Cached { value: keep(cache, key, now_ms, ask()?), is_fresh: true }),
    }
}

/// Puts an answer in the place of what is under `key`.
pub(crate) fn keep<T>(cache: &'static LocalKey<Cache<T>>, key: String, now_ms: u64, value: T) -> Rc<T> {
    let value = Rc::new(value);
    cache.with_borrow_mut(|entries| {
        entries.retain(|entry| entry.key != key);
        if entries.len() >= MOST {
            entries.remove(0);
        }
        entries.push(Entry { key, asked_at: now_ms, value: Rc::clone(&value) });
    });
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use archipel_sdk::Error;

    thread_local! {
        static NUMBERS: Cache<u32> = const { RefCell::new(Vec::new()) };
    }

    fn number(key: &str, now: u64, answer: Result<u32>) -> Result<u32> {
        get(&NUMBERS, key.to_owned(), now, 100, || answer).map(|cached| *cached.value)
    }

    #[test]
    fn an_answer_is_kept_for_its_project_and_its_time() {
        assert_eq!(number("a", 0, Ok(1)), Ok(1));
        assert_eq!(number("a", 99, Ok(2)), Ok(1));
        assert_eq!(number("b", 99, Ok(3)), Ok(3));
        assert_eq!(number("a", 100, Ok(4)), Ok(4));
    }

    #[test]
    fn a_failure_is_not_kept_and_memory_is_bounded() {
        assert!(number("a", 0, Err(Error::transient("x"))).is_err());
        assert_eq!(number("a", 0, Ok(1)), Ok(1));
        for other in 0..2 * MOST {
            number(&other.to_string(), 0, Ok(0)).unwrap();
        }
        assert_eq!(NUMBERS.with_borrow(Vec::len), MOST);
    }
}
