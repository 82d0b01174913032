//! Leaving the first kernel: what breaks in the field when one kernel takes a machine over from another (docs/boot-flow.md). Each
//! promise has its positive control: what happens where it is not kept, or need not be.

mod cards;
mod memory;
mod screen;
mod uefi_of_32_bits;
mod watchdog;
