//! Media and boot loaders of real machines, under a kernel that has their drivers. One boot of each kind is in `make test`;
//! the whole matrix is in `make test-media`.

mod boot_loader;
mod every_bus;
mod several_buses;
