/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/target.h"

#include <stdlib.h>

void health_target_done(struct health_target *target)
{
	free(target->stats_socket);
	free(target->master_socket);
	plan_leaving_free(target->leaving, target->n_leaving);
	free(target->lvs_config_file);
	free(target->lvs_check_pid_file);
	free(target->lvs_namespace);
	*target = (struct health_target){0};
}

void health_targets_free(struct health_target *targets, size_t n)
{
	for (size_t i = 0; targets && i < n; i++)
		health_target_done(&targets[i]);
	free(targets);
}
