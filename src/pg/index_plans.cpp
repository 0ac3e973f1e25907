// Implementation of index_plans.hpp; worker processes.
#include "pg/index_plans.hpp"

#include "pg/compat.hpp"

namespace dbnet::pg {
namespace {

// jit: a plan that cannot do without what is off has a cost that would have it compiled.
constexpr const char *switched_off[] = {"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"};

} // namespace

void plan_by_index() {
    for (const char *name : switched_off)
        SetConfigOption(name, "off", PGC_USERSET, PGC_S_SESSION);
}

void plan_as_configured() {
    for (const char *name : switched_off) // without a value: what RESET would give
        set_config_option(name, nullptr, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

} // namespace dbnet::pg
