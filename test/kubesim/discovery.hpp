// Discovery, version and OpenAPI documents.
#pragma once

#include "http_message.hpp"
#include "json.hpp"
#include "kinds.hpp"

#include <map>
#include <string>

namespace kubesim {

class Discovery {
public:
    // `directory` holds version.json, pointer_fields.json, protobuf_fields.json, and for each group version
    // discovery_<gv>.json and openapi_<gv>.json ("api_v1", "apis_apps_v1"), as a real server gave them, trimmed to the
    // kinds served; a schema that the core group's document has is in no other. Fills schemas and kinds.
    void load(const std::string &directory, Schemas &schemas, Kinds &kinds);

    // True when `path` is a discovery, version or OpenAPI document.
    bool answer(const Request &request, Response &response) const;

    // `name`: "api/v1", "apis/apps/v1". `openapi` may be null.
    void set(const std::string &name, const json &resources, const json &openapi);
    void remove(const std::string &name);
    json openapi(const std::string &name) const { return json::parse(openapi_.at(name).body); }

private:
    struct OpenApi {
        std::string body;
        std::string hash;
    };

    void list_groups();

    std::map<std::string, std::string> documents_; // path → body
    std::map<std::string, OpenApi> openapi_;       // "api/v1" → document
    std::vector<std::string> group_versions_;      // "apps/v1", in the order of /apis
    std::string openapi_index_;
};

} // namespace kubesim
