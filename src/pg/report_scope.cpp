// The report flag (see report_scope.hpp); set in the mirror worker only.
#include "pg/report_scope.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace dbnet::pg {
namespace {

Oid reported = InvalidOid;

} // namespace

ReportScope::ReportScope(Oid mirror) noexcept {
    reported = mirror;
}
ReportScope::~ReportScope() {
    reported = InvalidOid;
}

bool in_report() noexcept {
    if (!OidIsValid(reported))
        return false;
    LOCAL_FCINFO(fcinfo, 0);
    InitFunctionCallInfoData(*fcinfo, nullptr, 0, InvalidOid, nullptr, nullptr);
    return DatumGetInt32(pg_trigger_depth(fcinfo)) == 1; // reads a static variable
}

bool in_report_of(Oid mirror) noexcept {
    return reported == mirror && in_report();
}

} // namespace dbnet::pg
