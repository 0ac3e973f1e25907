// From CustomResourceDefinitions to kinds that are served: schemas, discovery and OpenAPI documents.
#pragma once

#include "discovery.hpp"
#include "kinds.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace kubesim {

class CustomKinds {
public:
    CustomKinds(Schemas &schemas, Kinds &kinds, Discovery &discovery)
        : schemas_(schemas), kinds_(kinds), discovery_(discovery) {}

    // Serves what the definition says, in place of what it said before; returns the kinds, one a version. Watches from
    // before `revision` will be told that they are too old.
    std::vector<const Kind *> define(const json &definition, uint64_t revision);
    void forget(const json &definition);
    // The kinds that are served for it now.
    std::vector<const Kind *> kinds_of(const json &definition) const;

private:
    Kind make(const json &spec, const json &version, uint64_t revision);
    void publish(const std::string &group_version);

    struct Published {
        json resources;                   // of the APIResourceList
        json openapi;                     // the document of the kind alone
        std::unique_ptr<Schemas> schemas; // the types built from it
    };

    Schemas &schemas_;
    Kinds &kinds_;
    Discovery &discovery_;
    std::map<std::string, std::map<std::string, Published>> published_; // "net.example.com/v1" → plural
};

} // namespace kubesim
