use std::fmt;
use std::io;

pub type Result<T = ()> = std::result::Result<T, Error>;

/// An errno, positive: what a function failed with, or what a fence was signaled with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error(i32);

impl Error {
    pub const IO: Error = Error(5);
    pub const NO_DEVICE: Error = Error(19);
    pub const INVALID: Error = Error(22);
    pub const TIMED_OUT: Error = Error(62);
    pub const CANCELED: Error = Error(125);
    pub const OWNER_DEAD: Error = Error(130);

    /// None: not the number of an error, 1 to 4095.
    pub const fn from_errno(errno: i32) -> Option<Error> {
        if errno >= 1 && errno <= 4095 {
            Some(Error(errno))
        } else {
            None
        }
    }

    pub const fn errno(self) -> i32 {
        self.0
    }

    /// What C returns: 0 or a positive value, or a negative errno.
    #[inline]
    pub(crate) fn check(returned: i32) -> Result<i32> {
        if returned < 0 {
            Err(Error(-returned))
        } else {
            Ok(returned)
        }
    }

    /// A result as C takes it.
    #[inline]
    pub(crate) fn to_c(result: Result) -> i32 {
        match result {
            Ok(()) => 0,
            Err(Error(errno)) => -errno,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {})", self.0, self)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::from_raw_os_error(error.0)
    }
}
