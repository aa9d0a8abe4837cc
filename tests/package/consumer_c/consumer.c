/* A program in C, outside of the tree, that waits for a fence which another thread signals. */
#include <pthread.h>
#include <stdio.h>
#include <ufence/ufence.h>

static void *issue(void *right)
{
	ufence_signaler_signal(right, -5);
	return NULL;
}

int main(void)
{
	struct ufence_fence *fence;
	struct ufence_signaler *right;
	pthread_t issuer;
	int waited, status;

	if (ufence_fence_create(ufence_fence_allocate_contexts(1), 1, &fence, &right) != 0)
		return 1;
	if (pthread_create(&issuer, NULL, issue, right) != 0)
		return 2;
	waited = ufence_fence_wait(fence, UFENCE_NO_DEADLINE);
	pthread_join(issuer, NULL);
	status = ufence_fence_status(fence);
	printf("waited %d, status %d\n", waited, status);
	ufence_fence_put(fence);
	return waited == 0 && status == -5 ? 0 : 3;
}
