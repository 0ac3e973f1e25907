// The report flag (see report_scope.hpp); set in the mirror worker only.
#include "pg/report_scope.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace dbnet::pg {
namespace {

struct Report {
    Oid mirror = InvalidOid;
    ReportKind kind = ReportKind::change;
    const ReportCauses *causes = nullptr;
};
Report report;

} // namespace

ReportScope::ReportScope(Oid mirror, ReportKind kind, const ReportCauses *causes) noexcept {
    report = {mirror, kind, causes};
}
ReportScope::~ReportScope() {
    report = {};
}

bool in_report() noexcept {
    if (!OidIsValid(report.mirror))
        return false;
    LOCAL_FCINFO(fcinfo, 0);
    InitFunctionCallInfoData(*fcinfo, nullptr, 0, InvalidOid, nullptr, nullptr);
    return DatumGetInt32(pg_trigger_depth(fcinfo)) == 1; // reads a static variable
}

bool in_report_of(Oid mirror) noexcept {
    return report.mirror == mirror && in_report();
}

ReportKind report_kind() noexcept {
    return report.kind;
}

std::int64_t report_cause(std::string_view name_space, std::string_view name) noexcept {
    return report.causes == nullptr ? 0 : report.causes->of(name_space, name);
}

} // namespace dbnet::pg
