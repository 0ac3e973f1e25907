// The report flag (see report_scope.hpp); set in the mirror worker only.
#include "pg/report_scope.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace dbnet::pg {
namespace {

bool in_scope = false;

} // namespace

ReportScope::ReportScope() noexcept {
    in_scope = true;
}
ReportScope::~ReportScope() {
    in_scope = false;
}

bool in_report() noexcept {
    if (!in_scope)
        return false;
    LOCAL_FCINFO(fcinfo, 0);
    InitFunctionCallInfoData(*fcinfo, nullptr, 0, InvalidOid, nullptr, nullptr);
    return DatumGetInt32(pg_trigger_depth(fcinfo)) == 1; // reads a static variable
}

} // namespace dbnet::pg
