// The structural schema of a custom resource: what the server prunes, defaults and refuses in its objects.
#pragma once

#include "errors.hpp"
#include "go_form.hpp"
#include "json.hpp"

#include <string>
#include <vector>

namespace kubesim {

class CustomSchema {
public:
    // `schema`: spec.versions[].schema.openAPIV3Schema. `metadata`: the type of metadata, ObjectMeta.
    CustomSchema(json schema, const Type *metadata) : schema_(std::move(schema)), metadata_(metadata) {}

    // Pruned, with defaults; without kind and apiVersion. Throws TypeMismatch for metadata that is none.
    json decode(const json &object, Decoder decoder, std::vector<std::string> *unknown) const;
    void validate(const json &object, std::vector<FieldError> &errors) const;

private:
    json schema_;
    const Type *metadata_;
};

} // namespace kubesim
