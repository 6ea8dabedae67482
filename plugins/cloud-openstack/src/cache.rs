//! What a project can see and what seldom changes: flavours, images, networks, volume types.
//!
//! It is remembered in the memory of this warm instance and, for those beside it, in the plugin's storage: the host keeps
//! few instances when there is little to do, and a burst of creates is served by fresh ones. Both serve many users, so
//! nothing is kept but what the key's project sees, and the key is (what, project, endpoint): flavours can be private to a
//! project, images to an owner. Ages and counts are bounded: an entry is at most `cache_s` old, of more than [`MOST`]
//! projects memory loses the oldest, and storage is emptied when its grant is used up.

use crate::wire::World;
use archipel_sdk::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::thread::LocalKey;

/// Projects that one instance remembers.
const MOST: usize = 64;

/// Largest value and key of plugin storage.
const VALUE: usize = 256 * 1024;
const KEY: usize = 256;

/// Answers by key.
pub(crate) type Cache<T> = RefCell<Vec<Entry<T>>>;

/// One answer.
pub(crate) struct Entry<T> {
    key: String,
    asked_at: u64,
    value: Rc<T>,
}

/// One answer in storage.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    asked_at: u64,
    value: T,
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
pub(crate) fn get<T: Serialize + DeserializeOwned>(
    cache: &'static LocalKey<Cache<T>>,
    world: &dyn World,
    key: String,
    ttl_ms: u64,
    ask: impl FnOnce() -> Result<T>,
) -> Result<Cached<T>> {
    let now = world.now_ms();
    let is_young = |asked_at: u64| now.saturating_sub(asked_at) < ttl_ms;
    let held = cache.with_borrow(|entries| {
        let held = entries.iter().find(|entry| entry.key == key)?;
        is_young(held.asked_at).then(|| Rc::clone(&held.value))
    });
    if let Some(value) = held {
        return Ok(Cached { value, is_fresh: false });
    }
    let is_shared = ttl_ms > 0 && key.len() <= KEY;
    let stored = if is_shared { world.recall(&key) } else { None };
    let stored = stored.and_then(|bytes| serde_json::from_slice::<Stored<T>>(&bytes).ok());
    if let Some(stored) = stored.filter(|stored| is_young(stored.asked_at)) {
        let value = keep(cache, key, stored.asked_at, stored.value);
        return Ok(Cached { value, is_fresh: false });
    }
    let stored = Stored { asked_at: now, value: ask()? };
    match serde_json::to_vec(&stored) {
        Ok(bytes) if key.len() <= KEY && bytes.len() <= VALUE => world.remember(&key, &bytes),
        // Too much to share: each instance asks for itself.
        _ => {}
    }
    Ok(Cached { value: keep(cache, key, now, stored.value), is_fresh: true })
}

fn keep<T>(cache: &'static LocalKey<Cache<T>>, key: String, asked_at: u64, value: T) -> Rc<T> {
    let value = Rc::new(value);
    cache.with_borrow_mut(|entries| {
        entries.retain(|entry| entry.key != key);
        if entries.len() >= MOST {
            entries.remove(0);
        }
        entries.push(Entry { key, asked_at, value: Rc::clone(&value) });
    });
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;
    use archipel_sdk::Error;

    thread_local! {
        static NUMBERS: Cache<u32> = const { RefCell::new(Vec::new()) };
    }

    fn number(world: &Script, key: &str, now: u64, answer: Result<u32>) -> Result<u32> {
        world.now_ms.set(now);
        get(&NUMBERS, world, key.to_owned(), 100, || answer).map(|cached| *cached.value)
    }

    #[test]
    fn an_answer_is_kept_for_its_project_and_its_time() {
        let world = Script::default();
        assert_eq!(number(&world, "a", 0, Ok(1)), Ok(1));
        assert_eq!(number(&world, "a", 99, Ok(2)), Ok(1));
        assert_eq!(number(&world, "b", 99, Ok(3)), Ok(3));
        assert_eq!(number(&world, "a", 100, Ok(4)), Ok(4));
    }

    #[test]
    fn a_failure_is_not_kept_and_memory_is_bounded() {
        let world = Script::default();
        assert!(number(&world, "a", 0, Err(Error::transient("x"))).is_err());
        assert_eq!(number(&world, "a", 0, Ok(1)), Ok(1));
        for other in 0..2 * MOST {
            number(&world, &other.to_string(), 0, Ok(0)).unwrap();
        }
        assert_eq!(NUMBERS.with_borrow(Vec::len), MOST);
    }

    #[test]
    fn a_fresh_instance_takes_over_what_another_asked_for_and_its_age() {
        let world = Script::default();
        number(&world, "a", 0, Ok(1)).unwrap();
        NUMBERS.with_borrow_mut(Vec::clear);
        assert_eq!(number(&world, "a", 60, Ok(2)), Ok(1));
        assert_eq!(number(&world, "a", 100, Ok(3)), Ok(3), "it is as old as it is");
        world.remember("a", b"broken");
        NUMBERS.with_borrow_mut(Vec::clear);
        assert_eq!(number(&world, "a", 100, Ok(4)), Ok(4));
        // Too long a key is remembered in memory alone.
        let long = "k".repeat(KEY + 1);
        assert_eq!(number(&world, &long, 100, Ok(5)), Ok(5));
        assert_eq!(world.recall(&long), None);
    }
}
