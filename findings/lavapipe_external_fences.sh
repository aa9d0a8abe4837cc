#!/usr/bin/env bash
# Does the Vulkan device that runs on the CPU give out its fences and semaphores as descriptors?
#
# Versions:  Debian 12, mesa-vulkan-drivers 22.3.6-1+deb12u2 (lavapipe), libvulkan1 1.3.239.0-1
# Guess:     it lists VK_KHR_external_semaphore and VK_KHR_external_fence, so at least one kind of handle
#            (OPAQUE_FD) can be exported or imported, and the _fd extensions are there.
# Seen:      both extensions are listed, their _fd companions are not, and for OPAQUE_FD and SYNC_FD, of
#            binary and timeline semaphores and of fences, the device says "no features": nothing can be
#            exported or imported. What it lists are the queries alone.
# For users: on this device a sync file has to come from the host's side (wait, then signal), and a test that
#            asks for the extension's name passes where nothing works: ask for the features.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# All that they need, as on a machine that has nothing.
mkdir -p debs/partial root
: >status
apt-get -q -y -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/debs" \
  -o APT::Install-Recommends=false -o APT::Sandbox::User=root --download-only install \
  mesa-vulkan-drivers=22.3.6-1+deb12u2 libvulkan1=1.3.239.0-1 libvulkan-dev=1.3.239.0-1 >apt.log 2>&1 ||
  { tail -n 5 apt.log >&2; exit 1; }
for package in debs/*.deb; do dpkg-deb -x "$package" root; done
libraries=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu
sed "s#\"/usr/lib#\"$work/root/usr/lib#" root/usr/share/vulkan/icd.d/lvp_icd.x86_64.json >device.json

cat >ask.c <<'C'
#include <stdio.h>
#include <string.h>
#include <vulkan/vulkan.h>

static void handles(VkPhysicalDevice device, const char *name, unsigned semaphore_bit, unsigned fence_bit)
{
	VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
	VkPhysicalDeviceExternalSemaphoreInfo semaphore = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO,
		.pNext = &type, .handleType = semaphore_bit};
	VkExternalSemaphoreProperties can = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES};
	VkPhysicalDeviceExternalFenceInfo fence = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_FENCE_INFO, .handleType = fence_bit};
	VkExternalFenceProperties fence_can = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_FENCE_PROPERTIES};

	for (int timeline = 0; timeline < 2; timeline++) {
		type.semaphoreType = timeline ? VK_SEMAPHORE_TYPE_TIMELINE : VK_SEMAPHORE_TYPE_BINARY;
		vkGetPhysicalDeviceExternalSemaphoreProperties(device, &semaphore, &can);
		printf("%s %s semaphore: features %u\n", name, timeline ? "timeline" : "binary",
		       can.externalSemaphoreFeatures);
	}
	vkGetPhysicalDeviceExternalFenceProperties(device, &fence, &fence_can);
	printf("%s fence: features %u\n", name, fence_can.externalFenceFeatures);
}

int main(void)
{
	VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
					 .apiVersion = VK_API_VERSION_1_3};
	VkInstanceCreateInfo create = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
				       .pApplicationInfo = &application};
	static VkExtensionProperties listed[500];
	uint32_t devices = 1, extensions = 500;
	VkPhysicalDevice device;
	VkInstance instance;

	if (vkCreateInstance(&create, NULL, &instance) != VK_SUCCESS ||
	    vkEnumeratePhysicalDevices(instance, &devices, &device) < 0 || devices != 1)
		return 1;
	vkEnumerateDeviceExtensionProperties(device, NULL, &extensions, listed);
	for (uint32_t i = 0; i < extensions; i++) {
		if (strstr(listed[i].extensionName, "external_semaphore") ||
		    strstr(listed[i].extensionName, "external_fence"))
			printf("lists %s\n", listed[i].extensionName);
	}
	handles(device, "OPAQUE_FD", VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD_BIT,
		VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT);
	handles(device, "SYNC_FD", VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
		VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT);
	return 0;
}
C
cc -o ask ask.c -isystem root/usr/include -L root/usr/lib/x86_64-linux-gnu -l:libvulkan.so.1
VK_ICD_FILENAMES=$work/device.json "$work/root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \
  --library-path "$libraries" ./ask 2>/dev/null | sort >seen
cat seen
cat >expected <<'END'
OPAQUE_FD binary semaphore: features 0
OPAQUE_FD fence: features 0
OPAQUE_FD timeline semaphore: features 0
SYNC_FD binary semaphore: features 0
SYNC_FD fence: features 0
SYNC_FD timeline semaphore: features 0
lists VK_KHR_external_fence
lists VK_KHR_external_semaphore
END
LC_ALL=C sort expected | cmp -s - <(LC_ALL=C sort seen) || { echo "changed: something else was expected" >&2; exit 1; }
