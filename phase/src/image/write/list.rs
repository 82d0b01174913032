//! The disks as `phase image write` shows them, to people and as JSON.

use std::{collections::BTreeSet, fmt, path::Path};

use indicatif::HumanBytes;
use serde::Serialize;

use super::{
    Survey,
    contents::Contents,
    disks::Disk,
    picture::Picture,
    refusal::refusal,
    uses::{Purpose, Use},
};

/// One disk.
#[derive(Debug, Serialize)]
pub(super) struct Device {
    /// The kernel's name, which has to be typed.
    name: String,
    /// Where it is opened.
    path: String,
    /// Bytes.
    size: u64,
    /// Vendor and model.
    model: Option<String>,
    /// What it is attached by.
    transport: Option<&'static str>,
    /// The medium can be taken out.
    removable: bool,
    /// The kernel refuses writes.
    read_only: bool,
    /// What stands at its beginning; nothing if this user may not see it.
    contents: Option<Contents>,
    /// Its partitions.
    partitions: Vec<Slice>,
    /// What it is used for as a whole: mount points, `swap`.
    used: Vec<String>,
    /// What speaks against writing to it.
    refused: Option<String>,
}

/// One partition.
#[derive(Debug, Serialize)]
struct Slice {
    /// The kernel's name.
    name: String,
    /// Bytes.
    size: u64,
    /// What is on it; nothing if this user may not see it.
    contents: Option<Contents>,
    /// What it is used for: mount points, `swap`.
    used: Vec<String>,
}

impl Device {
    /// Looks at what is on the disk.
    pub(super) fn new(disk: &Disk, uses: &BTreeSet<Use>, picture: Option<&Picture>, any_disk: bool) -> Self {
        let root = Path::new("/");
        let used_for = |through: &str| {
            let through = uses.iter().filter(|found| found.disk == disk.name && found.through == through);
            through.map(|found| describe(&found.purpose)).collect()
        };
        let slices = disk.partitions.iter().map(|part| Slice {
            name: part.name.clone(),
            size: part.size,
            contents: Contents::of(root, &format!("/dev/{}", part.name.replace('!', "/")), &part.number),
            used: used_for(&part.name),
        });
        Self {
            partitions: slices.collect(),
            name: disk.name.clone(),
            path: disk.path(),
            size: disk.size,
            model: disk.model.clone(),
            transport: disk.transport,
            removable: disk.removable,
            read_only: disk.read_only,
            contents: Contents::of(root, &disk.path(), &disk.number),
            used: used_for(&disk.name),
            refused: refusal(disk, uses, picture, any_disk).map(|refusal| refusal.to_string()),
        }
    }
}

/// The disks that can be carried around and have a medium; with `any_disk` those that are built in, too.
pub(super) fn of(survey: &Survey, picture: Option<&Picture>, any_disk: bool) -> Vec<Device> {
    let wanted = |disk: &&Disk| disk.size > 0 && (any_disk || disk.is_portable()) && !disk.name.starts_with("sr");
    survey.disks.iter().filter(wanted).map(|disk| Device::new(disk, &survey.uses, picture, any_disk)).collect()
}

/// Prints the disks.
pub(super) fn print(devices: &[Device], any_disk: bool) {
    for device in devices {
        println!("{device}");
        match &device.refused {
            Some(refused) => println!("  not written to: {refused}"),
            None => println!("  phase image write --image FILE {}", device.path),
        }
    }
    match (devices.is_empty(), any_disk) {
        (true, false) => println!("There is no removable disk, USB disk or SD card; --any-disk shows the others."),
        (true, true) => println!("There is no disk."),
        (false, _) => {}
    }
}

fn describe(purpose: &Purpose) -> String {
    match purpose {
        Purpose::Mounted(point) => point.display().to_string(),
        Purpose::Swap => "swap".to_owned(),
    }
}

/// The end of a line: what is there, and what it is used for.
fn there(contents: Option<&Contents>, used: &[String]) -> String {
    let contents = contents.map_or_else(|| "contents unknown: it may not be read".to_owned(), Contents::describe);
    let used = if used.is_empty() { String::new() } else { format!("in use: {}", used.join(", ")) };
    let mut line = String::new();
    for part in [contents, used].iter().filter(|part| !part.is_empty()) {
        line.push_str("  ");
        line.push_str(part);
    }
    line
}

impl fmt::Display for Device {
    /// Without a line end after the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, transport) = (self.model.as_deref().unwrap_or("no model"), self.transport.unwrap_or("?"));
        let there_is = there(self.contents.as_ref(), &self.used);
        write!(f, "{:14} {:>11}  {model}, {transport}{there_is}", self.path, HumanBytes(self.size).to_string())?;
        for part in &self.partitions {
            let there_is = there(part.contents.as_ref(), &part.used);
            write!(f, "\n  {:12} {:>11}{there_is}", part.name, HumanBytes(part.size).to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Machine;
    use super::*;

    fn names(any_disk: bool) -> Vec<String> {
        let machine = Machine::laptop();
        of(&Survey::of(machine.root()).unwrap(), None, any_disk).into_iter().map(|device| device.name).collect()
    }

    #[test]
    fn only_what_is_carried_around_is_listed_unless_asked() {
        assert_eq!(names(false), ["sdb", "sdc", "mmcblk1"]);
        assert_eq!(names(true), ["sda", "sdb", "sdc", "dm-0", "dm-1", "loop0", "mmcblk0", "mmcblk1", "nvme0n1"]);
    }

    #[test]
    fn a_line_has_size_model_transport_contents_and_uses() {
        let contents = |table: Option<&str>, label: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            Some(Contents { table: own(table), label: own(label), ..Contents::default() })
        };
        let part = Slice { name: "sdq1".to_owned(), size: 1 << 30, contents: None, used: vec!["/media/x".to_owned()] };
        let other =
            Slice { name: "sdq2".to_owned(), size: 512, contents: contents(None, Some("CAMERA")), used: Vec::new() };
        let device = Device {
            name: "sdq".to_owned(),
            path: "/dev/sdq".to_owned(),
            size: 15 << 30,
            model: Some("SanDisk Ultra".to_owned()),
            transport: Some("usb"),
            removable: true,
            read_only: false,
            contents: contents(Some("dos"), None),
            partitions: vec![part, other],
            used: Vec::new(),
            refused: None,
        };
        let expected = "\
/dev/sdq         15.00 GiB  SanDisk Ultra, usb  dos partition table
  sdq1            1.00 GiB  contents unknown: it may not be read  in use: /media/x
  sdq2               512 B  \"CAMERA\"";
        assert_eq!(device.to_string(), expected);
    }
}
