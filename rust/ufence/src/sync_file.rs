use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use ufence_sys as sys;

use crate::{Error, Fence, Result};

/// A fence as a descriptor, which any process can poll, inherit, receive and import.
#[derive(Debug)]
pub struct SyncFile(OwnedFd);

impl SyncFile {
    pub(crate) fn export(fence: &Fence) -> Result<SyncFile> {
        // SAFETY: a fence with a reference; no name is a name of its own. The descriptor is the caller's.
        unsafe {
            let fd = Error::check(sys::ufence_sync_file_export(fence.as_raw(), ptr::null()))?;
            Ok(SyncFile(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The fence of a descriptor. Error::INVALID: it is no sync file.
    pub fn import(file: impl AsFd) -> Result<Fence> {
        let fd = file.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open, and lent for the call.
        Fence::made_by(|to| unsafe { sys::ufence_sync_file_import(fd, to) })
    }

    /// Signaled when both are.
    pub fn merge(&self, other: impl AsFd) -> Result<SyncFile> {
        let (a, b) = (self.as_raw_fd(), other.as_fd().as_raw_fd());
        // SAFETY: as import(); the new descriptor is the caller's.
        unsafe {
            let fd = Error::check(sys::ufence_sync_file_merge(a, b, ptr::null()))?;
            Ok(SyncFile(OwnedFd::from_raw_fd(fd)))
        }
    }
}

impl AsFd for SyncFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SyncFile {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<SyncFile> for OwnedFd {
    fn from(file: SyncFile) -> OwnedFd {
        file.0
    }
}

/// A descriptor that came from elsewhere; import() says whether it is one.
impl From<OwnedFd> for SyncFile {
    fn from(fd: OwnedFd) -> SyncFile {
        SyncFile(fd)
    }
}
