//! How many event streams there are, and how many of them one user has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archipel_model::Owner;

/// Places for streams: some for all, and a share of them for each user.
#[derive(Debug)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
    most: usize,
    most_of_a_user: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<Owner, usize>,
}

/// Which bound is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The site's.
    Site,
    /// The user's.
    User,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    user: Owner,
}

impl Places {
    pub(crate) fn new(most: usize, most_of_a_user: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), most, most_of_a_user })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one.
    ///
    /// # Errors
    /// Which bound is met.
    pub(crate) fn take(self: &Arc<Self>, user: Owner) -> Result<Place, Full> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            return Err(Full::Site);
        }
        let own = taken.by_user.entry(user.clone()).or_default();
        if *own >= self.most_of_a_user {
            return Err(Full::User);
        }
        *own = own.saturating_add(1);
        taken.all = taken.all.saturating_add(1);
        Ok(Place { places: Arc::clone(self), user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_user.get_mut(&self.user) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Owner {
        Owner { issuer: "i".to_owned(), subject: name.to_owned() }
    }

    #[test]
    fn one_user_leaves_places_for_others_and_what_is_dropped_is_free() {
        let places = Places::new(3, 2);
        let first = places.take(user("a")).unwrap();
        let _second = places.take(user("a")).unwrap();
        assert_eq!(places.take(user("a")).unwrap_err(), Full::User);
        let _other = places.take(user("b")).unwrap();
        assert_eq!(places.take(user("b")).unwrap_err(), Full::Site);
        drop(first);
        let again = places.take(user("a")).unwrap();
        drop(again);
        drop((_second, _other));
        assert!(places.taken().by_user.is_empty(), "users who are gone are forgotten");
    }
}
