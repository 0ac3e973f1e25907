// Fuzz target of OpenAPI documents and of the index of documents. The input is a document whose kind is Kind of v1.
#include "kubernetes/openapi.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

// Every declared field down to a depth, so that references in circles are followed.
void visit(const dbnet::kubernetes::Schema &schema, const dbnet::kubernetes::FieldPath &path, int &budget) {
    for (const auto &[name, field] : schema.children(path))
        if (--budget > 0 && path.segments().size() < 6)
            visit(schema, path.child(name), budget);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    const std::string_view body(reinterpret_cast<const char *>(data), size);
    try {
        openapi_path(body, "apps", "v1");
    } catch (const Failure &) {
    }
    try {
        const Schema schema = OpenApiDocument::parse(body).schema("", "v1", "Kind");
        int budget = 100;
        visit(schema, {}, budget);
        schema.at(FieldPath::parse("spec.list[name=a].x[\"y/z\"]"));
    } catch (const Failure &) {
    }
    return 0;
}
