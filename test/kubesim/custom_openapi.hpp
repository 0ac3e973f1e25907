// The OpenAPI v3 document of one version of a custom resource, as the server publishes it.
#pragma once

#include "json.hpp"

#include <string>

namespace kubesim {

struct CustomNames {
    std::string group;
    std::string version;
    std::string kind;
    std::string list_kind;
    std::string plural;
    bool namespaced = false;
    bool has_status = false;
    bool has_scale = false;

    // The name of its schema: com.example.net.v1.Router
    std::string schema_name() const;
};

// `pattern`: the document of apps/v1, whose Deployment has all that a custom resource can have.
json custom_openapi(const CustomNames &names, const json &schema, const json &pattern);

} // namespace kubesim
