/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Named network namespaces, as ip-netns(8) keeps them: a file below /run/netns on which the namespace is mounted.
 *
 * A namespace belongs to a thread (setns(2)), and a daemon's threads serve whoever comes: none of them ever changes to
 * another namespace. What has to happen inside one is done by a short-lived thread, or through a socket that such a
 * thread opened: a socket stays in the namespace that it was opened in. All of it takes CAP_SYS_ADMIN.
 */

#include <stdbool.h>

#include "agent/base/error.h"

#define NAMESPACE_DIR "/run/netns"

enum { NAMESPACE_PATH_SIZE = 300 };

/* A file name: ERROR_INVALID for what is empty, too long, "." or "..", or has a slash or a control character. */
int namespace_check_name(const char *name, struct error *err);

/* Where the namespace is. The name has been checked. */
void namespace_path(const char *name, char ret[static NAMESPACE_PATH_SIZE]);

/* Opens a namespace by its name: ERROR_NOT_FOUND if there is none. */
int namespace_open(const char *name, int *ret_fd, struct error *err);

/* The same, and creates it first where it is missing, with its loopback interface up. What a crash left half made is
 * repaired. Without the privileges: ERROR_FORBIDDEN. */
int namespace_create(const char *name, int *ret_fd, struct error *err);

/* Whether two descriptors are the same namespace; -1 is that of the calling thread. */
bool namespace_is_same(int a_fd, int b_fd);

/* Runs "function" in a thread of its own inside the namespace, -1: that of the calling thread, and returns what it
 * returned. No signal is delivered to that thread. -EPERM without the privileges, -EINVAL for what is no network
 * namespace. */
typedef int (*namespace_function)(void *userdata);
int namespace_run(int namespace_fd, namespace_function function, void *userdata);

/* socket(2) inside the namespace. SOCK_CLOEXEC is added. */
int namespace_socket(int namespace_fd, int domain, int type, int protocol, int *ret_fd);
