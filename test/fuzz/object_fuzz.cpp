// Fuzz target of the judgements on whole objects of a server: pods to be drained, secrets to be hidden. Whatever the
// server sent as an object, there is an answer, and no value of a secret is left.
#include "kubernetes/drain.hpp"
#include "kubernetes/json_access.hpp"
#include "mirror/values/secret_values.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    nlohmann::json object = parse_json({reinterpret_cast<const char *>(data), size});
    if (!object.is_object() || !object.contains("metadata") || !object["metadata"].is_object())
        return 0; // is no object of a server: never comes so far
    pod_of_node(object);
    daemon_set_of(object);
    for (const bool option : {false, true}) {
        const PodVerdict verdict = judge_pod(object, {option, option, option}, option ? "not found" : "");
        if (verdict.kind == PodVerdict::forbid && verdict.message.empty())
            std::abort();
    }
    dbnet::mirror::hide_secret_values(object, "key");
    for (const char *member : {"data", "stringData"})
        if (const auto values = object.find(member); values != object.end() && !values->is_null())
            for (const auto &[name, value] : values->items())
                if (!value.is_string() || !value.get<std::string>().starts_with("hmac-sha256:"))
                    std::abort();
    return 0;
}
