// Units by the API's naming conventions (see field_unit.hpp).
#include "mirror/definition/field_unit.hpp"

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

std::string unit_of(const kubernetes::FieldPath &path) {
    if (path.empty())
        return {};
    const std::string &name = path.segments().back().name;
    if (name.ends_with("Seconds"))
        return "seconds";
    if (name.ends_with("Milliseconds") || name.ends_with("Millis"))
        return "milliseconds";
    if (name.ends_with("Percentage") || name.ends_with("Percent"))
        return "percent";
    if (name.ends_with("Bytes") || name == "memory" || name == "storage" || name == "ephemeral-storage" ||
        name.starts_with("hugepages-"))
        return "bytes";
    return name == "cpu" ? "cores" : "";
}

} // namespace dbnet::mirror
