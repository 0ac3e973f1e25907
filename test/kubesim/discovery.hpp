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
    // `directory` holds version.json, discovery_<gv>.json and openapi_<gv>.json, as a real server gave them (trimmed to
    // the kinds served). Fills schemas and kinds.
    void load(const std::string &directory, Schemas &schemas, Kinds &kinds);

    // True when `path` is a discovery, version or OpenAPI document.
    bool answer(const Request &request, Response &response) const;

private:
    std::map<std::string, std::string> documents_; // path → body
    struct OpenApi {
        std::string body;
        std::string hash;
    };
    std::map<std::string, OpenApi> openapi_; // "api/v1" → document
    std::string openapi_index_;
};

} // namespace kubesim
