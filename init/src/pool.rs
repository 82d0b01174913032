//! The places that bytes may come from, for one boot. It may grow while a download goes on, and who lied is out for good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use discover::Limits;

use crate::source::Source;

/// Places in the order in which they are asked, best first. Each name is there once, and they are at most twice as many as
/// origins are ever asked ([`Limits::origins`]): whoever can make this machine hear of places cannot make it keep more.
#[derive(Debug, Default)]
pub struct Pool {
    places: Mutex<Vec<Place>>,
}

#[derive(Debug)]
struct Place {
    source: Arc<Source>,
    /// Whether it left us waiting.
    late: bool,
    /// Whether it offers another release than the one that is wanted.
    elsewhere: bool,
    /// Whether it gave bytes that are not the signed ones.
    lied: bool,
}

impl Pool {
    /// A pool of these places, as far as there is room for them.
    pub fn new(sources: impl IntoIterator<Item = Arc<Source>>) -> Self {
        let pool = Self::default();
        for source in sources {
            pool.join(source);
        }
        pool
    }

    /// Takes a place in, from any thread; a download that goes on uses it at once. False if it is known by this name
    /// already, banned or not, or if there are too many.
    pub fn join(&self, source: Arc<Source>) -> bool {
        let mut places = self.places();
        let known = places.iter().any(|place| place.source.name() == source.name());
        let joins = !known && places.len() < 2 * Limits::default().origins;
        if joins {
            places.push(Place { source, late: false, elsewhere: false, lied: false });
        }
        joins
    }

    /// Asks the place of this name for nothing more: it gave bytes that are not the signed ones.
    pub fn ban(&self, name: &str) {
        for place in self.places().iter_mut().filter(|place| place.source.name() == name) {
            place.lied = true;
        }
    }

    /// Asks the place of this name only if nobody else is left: it left us waiting.
    pub fn set_back(&self, name: &str) {
        for place in self.places().iter_mut().filter(|place| place.source.name() == name) {
            place.late = true;
        }
    }

    /// Asks the others only if nobody else is left, until the next call: they may have the bytes as well, since a blob is
    /// named by its digest, and do not offer the release that is wanted. Who joins later is taken to offer it.
    pub fn prefer(&self, offers: impl Fn(&str) -> bool) {
        for place in self.places().iter_mut() {
            place.elsewhere = !offers(place.source.name());
        }
    }

    /// Whether the place of this name is asked only if nobody else is left.
    pub fn is_last(&self, name: &str) -> bool {
        self.places().iter().any(|place| (place.late || place.elsewhere) && place.source.name() == name)
    }

    /// The names of those who lied.
    pub fn liars(&self) -> Vec<String> {
        self.places().iter().filter(|place| place.lied).map(|place| place.source.name().to_owned()).collect()
    }

    /// Who may be asked now.
    pub fn sources(&self) -> Vec<Arc<Source>> {
        self.places().iter().filter(|place| !place.lied).map(|place| Arc::clone(&place.source)).collect()
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        // Whatever a thread that died did, it left whole places: there is no step between two of them.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromIterator<Source> for Pool {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        Self::new(sources.into_iter().map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use discover::Origin;

    use super::*;

    fn source(number: usize) -> Arc<Source> {
        Arc::new(Origin::parse(&format!("http://192.0.2.{number}")).unwrap().into())
    }

    fn names(pool: &Pool) -> Vec<String> {
        pool.sources().iter().map(|source| source.name().to_owned()).collect()
    }

    #[test]
    fn a_place_is_there_once_and_in_order() {
        let pool = Pool::new([2, 1, 2].map(source));
        assert!(!pool.join(source(1)) && pool.join(source(3)));
        assert_eq!(names(&pool), ["http://192.0.2.2", "http://192.0.2.1", "http://192.0.2.3"]);
    }

    #[test]
    fn who_lied_does_not_come_back() {
        let pool = Pool::new([1, 2].map(source));
        pool.ban("http://192.0.2.1");
        assert!(!pool.join(source(1)));
        assert_eq!(
            (names(&pool), pool.liars()),
            (vec!["http://192.0.2.2".to_owned()], vec!["http://192.0.2.1".to_owned()])
        );
    }

    #[test]
    fn who_is_late_is_still_there() {
        let pool = Pool::new([1, 2].map(source));
        pool.set_back("http://192.0.2.1");
        assert_eq!(names(&pool).len(), 2);
        assert!(pool.is_last("http://192.0.2.1") && !pool.is_last("http://192.0.2.2"));
    }

    #[test]
    fn who_offers_another_release_is_last_for_this_one_alone() {
        let pool = Pool::new([1, 2].map(source));
        pool.prefer(|name| name.ends_with(".1"));
        assert!(!pool.is_last("http://192.0.2.1") && pool.is_last("http://192.0.2.2"));
        pool.set_back("http://192.0.2.1");
        pool.prefer(|name| name.ends_with(".2"));
        assert!(pool.is_last("http://192.0.2.1") && !pool.is_last("http://192.0.2.2"), "late, and on the other side");
        pool.prefer(|_| true);
        assert!(pool.is_last("http://192.0.2.1"), "who is late stays so");
    }

    #[test]
    fn a_flood_of_places_ends() {
        let pool = Pool::new((1..200).map(source));
        assert_eq!(names(&pool).len(), 16);
        assert!(!pool.join(source(200)));
    }
}
