// What users have configured for the writer, otel.pane_rule and otel.batch_hook: read anew by a process after somebody
// has changed it (their triggers send an invalidation at the commit). Any process that takes telemetry.
#pragma once

#include "telemetry/batch.hpp"

#include "pg/compat.hpp"

#include <string>
#include <vector>

namespace dbnet::telemetry {

struct PaneRule {
    int32_t rule;
    Signal signal;
    struct Condition {
        std::string name;
        std::string value; // jsonb as PostgreSQL stores it, of the value alone
    };
    std::vector<Condition> match;
    std::vector<std::string> group_by;
};

struct BatchHook {
    Oid procedure;     // InvalidOid: it is not there
    std::string table; // of schema otel
    std::string name;  // schema.name() of the procedure
    Oid owner;         // of the procedure when it was named
};

struct Configuration {
    std::vector<PaneRule> rules;
    std::vector<BatchHook> hooks;

    bool has_hook(std::string_view table) const noexcept;
    bool has_rule(Signal signal) const noexcept;
};

// In the running transaction, from C++ frames; valid until the next call.
const Configuration &configuration();

} // namespace dbnet::telemetry
