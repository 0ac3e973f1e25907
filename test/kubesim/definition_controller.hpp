// What an API server does with CustomResourceDefinitions: it accepts their names, serves their kinds, and cleans up.
#pragma once

#include "api.hpp"
#include "custom_kinds.hpp"
#include "watch.hpp"
#include "work_queue.hpp"

namespace kubesim {

class DefinitionController {
public:
    // `delay_ms`: until a definition is established, changed or cleaned up.
    DefinitionController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds, CustomKinds &custom,
                         WatchHub &watches, int delay_ms)
        : api_(api), store_(store), custom_(custom), watches_(watches),
          definitions_(*kinds.by_kind("apiextensions.k8s.io", "CustomResourceDefinition")), delay_(delay_ms),
          queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);
    // After a restart.
    void resume();

private:
    void sync(const std::string &key);
    void establish(const std::string &key);
    void clean_up(const Stored &definition);
    void cut_watches(const std::vector<const Kind *> &kinds);

    Api &api_;
    Store &store_;
    CustomKinds &custom_;
    WatchHub &watches_;
    const Kind &definitions_;
    std::chrono::milliseconds delay_;
    std::map<std::string, json> served_; // by key: the spec that is served
    WorkQueue queue_;
};

} // namespace kubesim
