//! The host's clock, read in one place.

use std::time::SystemTime;

use verify::Timestamp;

/// The host's time; 1970 if its clock stands before that.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs())
}
