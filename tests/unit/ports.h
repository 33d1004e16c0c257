/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A TCP port of 127.0.0.1 that nobody has, for a server that is started later and sets SO_REUSEADDR, as HAProxy does. It
 * is held for as long as the test runs: the kernel gives it neither to this test again nor to another one beside it.
 */
int free_port(void);
