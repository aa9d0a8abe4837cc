/* Polls the sync file on its stdin, then imports it to know how the work ended. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <ufence/ufence.h>

int main(void)
{
	struct pollfd polled = {.fd = 0, .events = POLLIN};
	struct ufence_fence *fence;
	int failed, status;

	if (poll(&polled, 1, -1) != 1)
		return 1;
	failed = ufence_sync_file_import(0, &fence);
	if (failed) {
		fprintf(stderr, "consumer: no sync file on stdin: %s\n", strerror(-failed));
		return 1;
	}
	/* poll() says when the file is readable; the fence has the result. */
	failed = ufence_fence_wait(fence, UFENCE_NO_DEADLINE);
	status = ufence_fence_status(fence);
	printf("the frame: %s\n", status == 1 ? "done" : strerror(-status));
	ufence_fence_put(fence);
	return !failed && status == -EIO ? 0 : 1;
}
