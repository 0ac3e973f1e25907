// Order of resource versions; see the header. Runs in the mirror worker.
#include "kubernetes/object/resource_version.hpp"

namespace dbnet::kubernetes {
namespace {

bool is_well_formed(std::string_view version) noexcept {
    return !version.empty() && version.front() != '0' &&
           version.find_first_not_of("0123456789") == std::string_view::npos;
}

} // namespace

std::optional<std::strong_ordering> compare_resource_versions(std::string_view left, std::string_view right) noexcept {
    if (left == right)
        return std::strong_ordering::equal;
    if (!is_well_formed(left) || !is_well_formed(right))
        return std::nullopt;
    if (left.size() != right.size())
        return left.size() <=> right.size();
    return left < right ? std::strong_ordering::less : std::strong_ordering::greater;
}

bool is_older(std::string_view version, std::string_view than) noexcept {
    const auto order = compare_resource_versions(version, than);
    return order && *order < 0;
}

bool is_not_newer(std::string_view version, std::string_view than) noexcept {
    const auto order = compare_resource_versions(version, than);
    return order && *order <= 0;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
