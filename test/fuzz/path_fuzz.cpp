// Fuzz target of field paths: the grammar, the server's form, and documents read and changed along whatever parsed.
#include "kubernetes/object/managed_fields.hpp"
#include "kubernetes/object/path.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>

namespace {

// x[name=a] and x[name=a].name: what is set there may be no longer what the selector asks for.
bool changes_a_selector(const dbnet::kubernetes::FieldPath &path) {
    const auto &segments = path.segments();
    if (segments.back().is_element())
        return true;
    for (size_t i = 1; i < segments.size(); ++i)
        for (const auto &selector : segments[i - 1].selectors)
            if (segments[i].is_element() || selector.key == segments[i].name)
                return true;
    return false;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    FieldPath::from_server(text).server_text();
    FieldPath path;
    try {
        path = FieldPath::parse(text);
    } catch (const PathError &error) {
        if (error.position() > size)
            std::abort();
        return 0;
    }
    if (FieldPath::parse(path.text()) != path)
        std::abort();
    if (changes_a_selector(path))
        return 0;
    nlohmann::json document;
    set(document, path, 1);
    const nlohmann::json *found = get(document, path);
    if (found == nullptr || *found != 1)
        std::abort();
    owners_of(document, path);
    if (!erase(document, path) || get(document, path) != nullptr)
        std::abort();
    return 0;
}
