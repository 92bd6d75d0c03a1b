// SPDX-License-Identifier: Apache-2.0
// All regions of one broker, its control socket and its metrics: from options to exit code.
#ifndef SMC_STEER_BROKER_SERVICE_H
#define SMC_STEER_BROKER_SERVICE_H

#include "broker/options.h"

namespace smc_steer::broker {

constexpr int kExitFailure = 1;
constexpr int kExitBadInput = 2;

// Serves until SIGTERM or SIGINT. Says on stderr what kept it from it; nothing is left changed
// then.
int serve(const Options& options);

// Prints a running broker's status.
int show_status(const StatusCommand& command);

int complain(const Error& error, int code);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_SERVICE_H
