// What /metrics and /readyz tell of the database beside the gateway: workers, mirrors, calls to devices, provenance.
// Gateway worker.
#pragma once

#include "gateway/otlp/gateway_counters.hpp"

#include <map>

namespace dbnet::bgworker {

class GatewayReport {
public:
    // Outside a transaction: each runs one of its own, and raises what that raises.
    void start(); // calls to devices are counted from here on
    void write(gateway::MetricsText &text);

private:
    struct Calls {
        gateway::DurationHistogram durations;
        uint64_t count = 0;
    };

    void count_calls();

    long last_call_ = 0;                                         // dbnet.actuation.id, counted up to here
    std::map<std::pair<std::string, std::string>, Calls> calls_; // by operation and status
};

} // namespace dbnet::bgworker
