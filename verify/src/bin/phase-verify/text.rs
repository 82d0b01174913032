//! The report for people.

use std::fmt::Write;

use verify::Timestamp;
use verify::names::quoted;

use crate::report::{Blob, Facts, Problem, Release, Report, Step};

/// Names of blobs that are shown; there may be thousands.
const SHOWN: usize = 10;

/// The whole report.
pub(crate) fn of(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ok = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let trust = &report.trust;
    writeln!(out, "trust        {}: channel {}, epoch {}", trust.path, trust.channel, trust.given_epoch)?;
    let believed = if report.clock_believed { "" } else { ", when the trust file was made: the clock is not believed" };
    writeln!(out, "time         {}{believed}", report.now)?;
    for step in &report.chain {
        write_step(out, step)?;
    }
    for release in &report.releases {
        write_release(out, release, report.now)?;
    }
    write_unnamed(out, report.unnamed_blobs.as_deref().unwrap_or_default())?;
    let blobs = report.releases.iter().flat_map(|release| release.blobs.iter().flatten());
    let (good, bad): (Vec<&Blob>, Vec<_>) = blobs.partition(|blob| blob.problem.is_none());
    let refused = report.releases.iter().filter(|release| release.problem.is_some()).count()
        + report.chain.iter().filter(|step| step.problem.is_some()).count();
    match (report.good, report.releases.len()) {
        (true, releases) => {
            writeln!(out, "result       GOOD: {}, {}", count(releases, "release"), count(good.len(), "file"))
        }
        (false, 0) => writeln!(out, "result       REFUSED: no release of channel {} was found", trust.channel),
        (false, _) => {
            writeln!(out, "result       REFUSED: {}, {}", count(refused, "document"), count(bad.len(), "file"))
        }
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn write_step(out: &mut String, step: &Step) -> std::fmt::Result {
    match (&step.problem, step.epoch) {
        (Some(problem), _) => {
            writeln!(out, "rotation     {}", step.path)?;
            write_problem(out, problem)
        }
        (None, Some(epoch)) => writeln!(out, "rotation     {}: epoch {epoch} is in force", step.path),
        (None, None) => writeln!(out, "rotation     {}: not needed, the trust file is as new", step.path),
    }
}

fn write_release(out: &mut String, release: &Release, now: Timestamp) -> std::fmt::Result {
    writeln!(out, "release      {}", release.path)?;
    if let Some(problem) = &release.problem {
        write_problem(out, problem)?;
    }
    if let Some(facts) = &release.facts {
        write_facts(out, facts, now)?;
    }
    for warning in &release.warnings {
        writeln!(out, "  warning    {warning}")?;
    }
    for blob in release.blobs.iter().flatten() {
        writeln!(out, "  file       {} ({} bytes, {})", blob.name, blob.size, blob.sha256)?;
        match &blob.problem {
            None => writeln!(out, "    good     every byte is the signed one")?,
            Some(problem) => writeln!(out, "    REFUSED  {} ({})", problem.message, problem.kind)?,
        }
    }
    if release.facts.is_some() && release.blobs.is_none() {
        writeln!(out, "  files      not looked at; --blobs DIR does")?;
    }
    Ok(())
}

fn write_facts(out: &mut String, facts: &Facts, now: Timestamp) -> std::fmt::Result {
    let Facts { channel, arch, version, issued, expires, manifest_sha256, signed_by, logged } = facts;
    writeln!(out, "  good       {channel} {arch} version {version}")?;
    for signer in signed_by {
        writeln!(out, "  signed by  {} ({})", signer.name, signer.id)?;
    }
    if *logged {
        writeln!(out, "  logged     the proof holds")?;
    }
    let days = expires.unix().saturating_sub(now.unix()) / 86400;
    writeln!(out, "  dates      issued {issued}, expires {expires}, in {days} days")?;
    writeln!(out, "  manifest   sha256 {manifest_sha256}")
}

fn write_problem(out: &mut String, problem: &Problem) -> std::fmt::Result {
    writeln!(out, "  REFUSED    {} ({})", problem.message, problem.kind)?;
    match problem.advice {
        Some(advice) => writeln!(out, "  advice     {advice}"),
        None => Ok(()),
    }
}

/// For information: a tree that was not pruned has them.
fn write_unnamed(out: &mut String, names: &[String]) -> std::fmt::Result {
    for name in names.iter().take(SHOWN) {
        writeln!(out, "unnamed      {}: no release that was checked names it", quoted(name))?;
    }
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(out, "unnamed      and {more} more")?;
    }
    Ok(())
}
