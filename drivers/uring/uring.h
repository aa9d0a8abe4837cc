/* The jobs of the driver `uring`: reading files, by io_uring.
 *
 * Where the kernel refuses io_uring the driver says so to the host's report handler and reads with
 * threads and pread(); UFENCE_URING_CONFIGURE makes it do so anyway. Either way:
 *
 *  - A read goes on after a short one, until `size` bytes or the end of the file are there.
 *  - After a job that failed, or was cancelled, its result and its buffer say nothing.
 *  - A job that ended with -ECANCELED may be submitted again as it is, unless it reads a stream.
 *
 * Errors of a job: what open, fstat and read return; -EINVAL opcode, arguments too short, a null
 * pointer, unknown flags, a reserved field that is not 0; -ECANCELED.
 */
#ifndef UFENCE_DRIVERS_URING_H
#define UFENCE_DRIVERS_URING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UFENCE_URING_THREADS_MAX 64u
/* As offset: the file's own position, for pipes, sockets and the like. */
#define UFENCE_URING_STREAM UINT64_MAX

enum ufence_uring_opcode {
	UFENCE_URING_CONFIGURE = 1, /* struct ufence_uring_configure */
	UFENCE_URING_QUERY = 2,     /* struct ufence_uring_query; complete when submit returned */
	UFENCE_URING_READ = 3,      /* struct ufence_uring_read */
	UFENCE_URING_READ_FILE = 4  /* struct ufence_uring_read_file */
};

enum ufence_uring_backend {
	UFENCE_URING_STARTING = 0,  /* only in answers: not known yet */
	UFENCE_URING_RING = 1,      /* io_uring */
	UFENCE_URING_THREADS = 2    /* threads with pread() */
};

/* Chooses how to read from now on. Complete when it is in place: what is in the ring ends first.
   -EOPNOTSUPP there is no way back to the ring; -EBUSY another such job is under way; -EAGAIN fewer
   threads could be started, those that were stay. */
struct ufence_uring_configure {
	uint32_t backend;         /* UFENCE_URING_RING (checks that it is) or UFENCE_URING_THREADS */
	uint32_t threads;         /* at least so many, up to UFENCE_URING_THREADS_MAX; 0: no wish */
};

/* The counts of this instance so far. */
struct ufence_uring_counters {
	uint64_t reads, files;    /* jobs done of each opcode */
	uint64_t bytes;           /* read by them */
	uint64_t failed;          /* jobs ended with an error, without the cancelled ones */
	uint64_t cancelled;       /* jobs ended with -ECANCELED */
	uint64_t continued;       /* reads that were short of the end and went on */
	uint64_t ring_enters;     /* system calls to submit to the ring, or to wait for it */
	uint64_t ring_requests;   /* requests submitted with them */
	uint32_t backend;         /* enum ufence_uring_backend */
	uint32_t threads;         /* that read; 1 with the ring */
};
struct ufence_uring_query {
	struct ufence_uring_counters *counters;
};

/* Reads from an open file. */
struct ufence_uring_read {
	int32_t fd;               /* stays open until the job's fence signaled */
	uint32_t flags;           /* 0 */
	uint64_t offset;          /* in the file, or UFENCE_URING_STREAM */
	void *buffer;
	uint64_t size;            /* of the buffer */
	uint64_t *bytes_read;     /* result: less than size only at the end of the file */
};

enum ufence_uring_read_file_flags {
	/* Does not follow a symbolic link as the last part of the path: -ELOOP. */
	UFENCE_URING_NOFOLLOW = 1u << 0,
	/* If the end was not reached the file stays open and is the caller's, see fd. */
	UFENCE_URING_KEEP_OPEN = 1u << 1
};

/* Opens a regular file, reads it from its begin, closes it. Others fail at once, and nothing is
   read from them: a directory with -EISDIR, the rest with -EOPNOTSUPP. */
struct ufence_uring_file {
	uint64_t bytes_read;      /* less than the size of the buffer only at the end of the file */
	uint64_t file_size;       /* as fstat() said after opening */
	int32_t fd;               /* UFENCE_URING_KEEP_OPEN and not at_end: the open file; else -1 */
	uint32_t at_end;          /* 1: the end of the file was reached */
};
struct ufence_uring_read_file {
	const char *path;
	int32_t dirfd;            /* for a relative path, as in openat(); AT_FDCWD */
	uint32_t flags;           /* enum ufence_uring_read_file_flags */
	void *buffer;
	uint64_t size;            /* of the buffer */
	struct ufence_uring_file *file; /* result */
};

#ifdef __cplusplus
}
#endif
#endif
