// Reading of pinned attributes; see the header.
#include "gateway/otlp/pinned_attributes.hpp"

#include <nlohmann/json.hpp>

namespace dbnet::gateway {

std::vector<telemetry::PinnedAttribute> pinned_attributes(std::string_view json_object) {
    std::vector<telemetry::PinnedAttribute> attributes;
    const nlohmann::json object = nlohmann::json::parse(json_object, nullptr, false);
    for (const auto &[name, value] : object.items())
        if (value.is_string())
            attributes.push_back({name, value.get<std::string>()});
        else if (value.is_number_integer())
            attributes.push_back({name, value.get<int64_t>()});
        else if (value.is_number())
            attributes.push_back({name, value.get<double>()});
        else if (value.is_boolean())
            attributes.push_back({name, value.get<bool>()});
    return attributes;
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
