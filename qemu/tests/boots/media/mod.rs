//! Media of private mode on every bus, and the menu's entries in a GRUB that is there already, under a kernel that has the
//! drivers of real machines. One boot is in `make test`, all are in `make test-media`; the ways in are tests/media.

mod boot_loader;
mod every_bus;
mod leaving;
mod measured;
mod measured_by_firmware;
mod persistent_upper;
mod secure_boot;
mod several_buses;
