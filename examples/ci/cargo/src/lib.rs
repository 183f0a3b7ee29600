//! A page of memory that devices can reach, as a driver has it. `cargo test` runs its tests on the machine.
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

const IOMMU_DESTROY: u64 = 0x3b80;
const IOMMU_IOAS_ALLOC: u64 = 0x3b81;
const IOMMU_IOAS_MAP: u64 = 0x3b85;
const PAGE: usize = 4096;

extern "C" {
    fn ioctl(fd: i32, request: u64, argument: *mut u8) -> i32;
}

#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE]);

#[repr(C)]
struct IoasAlloc {
    size: u32,
    flags: u32,
    out_ioas_id: u32,
}
#[repr(C)]
struct Destroy {
    size: u32,
    id: u32,
}
#[repr(C)]
struct IoasMap {
    size: u32,
    flags: u32,
    ioas_id: u32,
    reserved: u32,
    user_va: u64,
    length: u64,
    iova: u64,
}

/// An address space of devices.
pub struct Ioas {
    file: File,
    id: u32,
}

impl Ioas {
    pub fn new() -> io::Result<Ioas> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/iommu")?;
        let mut alloc = IoasAlloc { size: 12, flags: 0, out_ioas_id: 0 };
        call(&file, IOMMU_IOAS_ALLOC, &mut alloc)?;
        Ok(Ioas { file, id: alloc.out_ioas_id })
    }
    /// Devices reach the page at `iova`, as long as the address space is there.
    pub fn map(&self, page: &mut Page, iova: u64) -> io::Result<()> {
        let mut map = IoasMap {
            size: 40,
            flags: 7,
            ioas_id: self.id,
            reserved: 0,
            user_va: page.0.as_mut_ptr() as u64,
            length: PAGE as u64,
            iova,
        };
        call(&self.file, IOMMU_IOAS_MAP, &mut map)
    }
}
impl Drop for Ioas {
    fn drop(&mut self) {
        let mut destroy = Destroy { size: 8, id: self.id };
        call(&self.file, IOMMU_DESTROY, &mut destroy).expect("nothing else uses it");
    }
}

fn call<T>(file: &File, request: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: each command above reads and writes the struct it is given, which begins with its size.
    match unsafe { ioctl(file.as_raw_fd(), request, (argument as *mut T).cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_mapped_twice() {
        let ioas = Ioas::new().unwrap();
        let mut page = Box::new(Page([0; PAGE]));
        ioas.map(&mut page, 0x10_0000).unwrap();
        let again = ioas.map(&mut page, 0x10_0000).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }
}
