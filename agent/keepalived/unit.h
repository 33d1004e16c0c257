/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * keepalived as a unit of systemd.
 */

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/keepalived/process.h"

/* Writes what the unit reads, starts it (again, if systemd thinks that it runs) and has it started at boot. */
int unit_start(const struct keepalived_spec *spec, const char *unit, struct error *err);
int unit_stop(const char *unit, struct error *err);
int unit_disable(const char *unit, struct error *err);
