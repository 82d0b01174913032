//! The release that was chosen, as the TPM is told of it before it is entered ([`crate::measure`]).

use std::path::Path;

use verify::measured::Entry;
use verify::{Envelope, Handoff as Way, Sha256Digest};

use super::{BootError, Chosen, StageOne};
use crate::config::Config;
use crate::measure::{self, MeasureError, Policy};
use crate::record::Measured;

impl StageOne<'_> {
    /// Measures the release for this way into it. Without a TPM there is nothing to do or to say, unless config.json demands one.
    pub(super) fn measure(
        &self,
        way: Way,
        chosen: &Chosen<'_>,
        config: &Config,
    ) -> Result<Option<Measured>, BootError> {
        let policy = Policy::of(chosen.mode, config.measure, config.parameters.measure);
        let root = Path::new("/");
        if policy == Policy::Off || policy == Policy::IfPossible && !measure::is_possible(root) {
            return Ok(None);
        }
        let stage = self.timeline.begin("measure");
        let Some(envelope) = chosen.envelope() else {
            // Every release that was chosen came in an envelope that is still there.
            stage.fail(&MeasureError::NoEnvelope);
            return Err(BootError::Measure(MeasureError::NoEnvelope));
        };
        let entry = Entry {
            epoch: chosen.trust.epoch,
            trust: chosen.trust_digest,
            envelope: Sha256Digest::of(envelope),
            digest: chosen.release.digest(),
            manifest: &chosen.release,
            way,
        };
        let measure::Outcome { log, result } = measure::entry(root, &entry, self.console);
        let measured = log.as_ref().map(|log| Measured::of(log, result.is_ok()));
        match result {
            Ok(()) => {
                let banks = measured.as_ref().map(|measured| measured.banks.join(",")).unwrap_or_default();
                let events = log.as_ref().map_or(0, |log| log.events().len());
                let pcr = verify::measured::PCR.to_string();
                stage.end(&[("pcr", pcr), ("banks", banks), ("events", events.to_string())]);
            }
            Err(error) if policy == Policy::Required => {
                stage.fail(&error);
                return Err(BootError::Measure(error));
            }
            Err(error) => {
                stage.fail(&error);
                self.console
                    .warn(format_args!("the release is not measured, or not all of it: {error}; the boot goes on"));
            }
        }
        Ok(measured)
    }
}

impl Chosen<'_> {
    /// The envelope that its source gave, byte by byte. Another source may have other bytes around the same manifest, of which
    /// nothing was verified.
    fn envelope(&self) -> Option<&[u8]> {
        let holds = |candidate: &&discover::Candidate| {
            let payload = || Envelope::parse(&candidate.envelope).map(|envelope| Sha256Digest::of(&envelope.payload));
            candidate.source == self.source && payload().is_ok_and(|digest| digest == self.release.digest())
        };
        self.found.candidates.iter().find(holds).map(|candidate| candidate.envelope.as_slice())
    }
}
