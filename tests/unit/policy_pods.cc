// SPDX-License-Identifier: Apache-2.0
// Whose control groups are whose, and which of them are steered.
#include <gtest/gtest.h>

#include "agent/policy/members.h"
#include "agent/policy/pod.h"
#include "agent/policy/steering.h"

namespace smc_steer {
namespace {

const std::string kUid = "6a4f2e11-0c3b-4d6e-9f10-2233445566aa";
const std::string kSlicedUid = "6a4f2e11_0c3b_4d6e_9f10_2233445566aa";
const std::string kId(64, 'a');
const std::string kOther = std::string(63, 'b') + "1";

Pod pod(const std::string& name, std::optional<bool> accelerate = {}, std::string uid = kUid,
        std::vector<std::string> ids = {kId}) {
    Pod made;
    made.space = "shop";
    made.name = name;
    made.uid = std::move(uid);
    made.ids = std::move(ids);
    made.accelerate = accelerate;
    made.labels = {{"app", "web"}, {"tier", ""}};
    return made;
}

// Each path with an id, from 1, and all that is around it.
std::vector<CgroupEntry> tree(const std::vector<std::string>& paths) {
    std::set<std::string> all{"/"};
    for (const auto& path : paths) {
        for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
            all.insert(path.substr(0, at));
        }
        all.insert(path);
    }
    std::vector<CgroupEntry> entries;
    entries.reserve(all.size());
    for (const auto& path : all) {
        entries.push_back({path, entries.size() + 1});
    }
    return entries;
}

TEST(PolicyPods, ContainersOfEveryEngineAreKnownByTheNamesOfTheirControlGroups) {
    for (const auto& name :
         {kId, "cri-containerd-" + kId + ".scope", "crio-" + kId + ".scope",
          "docker-" + kId + ".scope", "libpod-" + kId + ".scope", "libpod-" + kId,
          "nerdctl-" + kId + ".scope", "kubepods-besteffort-pod1.slice:cri-containerd:" + kId}) {
        EXPECT_EQ(container_of_cgroup(name), kId) << name;
    }
    for (const char* name : {"", "/", "system.slice", "cri-containerd-.scope", "user-1000.slice",
                             "crio-ABCDEF0123456789.scope", "libpod_parent", "docker-0af.scope"}) {
        EXPECT_EQ(container_of_cgroup(name), "") << name;
    }
}

TEST(PolicyPods, ThePodsOfBothDriversAreKnownByTheirUid) {
    EXPECT_EQ(pod_uid_of_cgroup("pod" + kUid), kUid);
    for (const char* quality : {"", "-burstable", "-besteffort"}) {
        EXPECT_EQ(
            pod_uid_of_cgroup(std::string("kubepods") + quality + "-pod" + kSlicedUid + ".slice"),
            kUid);
    }
    // of a static pod
    EXPECT_EQ(pod_uid_of_cgroup("pod0123456789abcdef0123456789abcdef"),
              "0123456789abcdef0123456789abcdef");
    for (const char* name : {"", "pod", "kubepods.slice", "kubepods-burstable.slice",
                             "podman.slice", "machine-pod1.slice", "besteffort"}) {
        EXPECT_EQ(pod_uid_of_cgroup(name), "") << name;
    }
}

TEST(PolicyPods, FoundWhereverItsRuntimePutsIt) {
    std::string slice =
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + kSlicedUid + ".slice";
    struct {
        std::vector<std::string> paths;
        std::string begins;
    } cases[] = {
        {{slice + "/cri-containerd-" + kId + ".scope"}, slice},
        {{slice + "/crio-" + kId + ".scope/container"}, slice},
        {{"/kubepods/burstable/pod" + kUid + "/" + kId}, "/kubepods/burstable/pod" + kUid},
        {{"/kubepods/pod" + kUid}, "/kubepods/pod" + kUid},
        // inside the cluster's own container, as kind has it
        {{"/system.slice/docker-" + kOther + ".scope/kubelet/kubepods/pod" + kUid + "/" + kId},
         "/system.slice/docker-" + kOther + ".scope/kubelet/kubepods/pod" + kUid},
        // without a kubelet
        {{"/k8s.io/" + kId}, "/k8s.io/" + kId},
        {{"/system.slice/cri-containerd-" + kId + ".scope"},
         "/system.slice/cri-containerd-" + kId + ".scope"},
    };
    for (const auto& each : cases) {
        auto cgroups = tree(each.paths);
        std::vector<Pod> pods{pod("web-0")};
        auto found = find_pod_cgroups(pods, cgroups);
        EXPECT_EQ(found.size(), 1U) << each.begins;
        EXPECT_TRUE(found.contains(each.begins)) << each.begins;
        EXPECT_EQ(pod_of_cgroup(pods, found, each.paths[0]), pods.data());
        EXPECT_EQ(pod_of_cgroup(pods, found, "/kubepods"), nullptr);
        EXPECT_EQ(pod_of_cgroup(pods, found, "/"), nullptr);
    }
}

TEST(PolicyPods, WhoIsInAPodMayNotTakeAnotherOnesName) {
    std::vector<Pod> pods{pod("web-0"), pod("db-0", {}, "other-uid", {kOther})};
    std::string inside = "/kubepods/pod" + kUid + "/" + kId + "/podother-uid";
    auto found = find_pod_cgroups(pods, tree({inside, inside + "/" + kOther}));
    EXPECT_EQ(found.size(), 1U);
    EXPECT_EQ(pod_of_cgroup(pods, found, inside)->name, "web-0");
}

TEST(PolicyPods, WhatHasNoUidIsNotFoundByNamesWithoutOne) {
    std::vector<Pod> pods{pod("odd", {}, "", {""})};
    EXPECT_TRUE(
        find_pod_cgroups(pods, tree({"/system.slice/a.service", "/kubepods/pod1"})).empty());
}

const std::string kWeb = "/kubepods/pod" + kUid;
const std::string kDb = "/kubepods/burstable/podother-uid";

struct Machines {
    Machine machine;
    Steering with(bool pods_on, const std::vector<Workload>& workloads = container_cgroups()) {
        return steering({workloads, pods_on}, machine);
    }
};

Machines two_pods(std::optional<bool> web, std::optional<bool> db) {
    Machines made;
    made.machine.cgroups =
        tree({kWeb + "/" + kId, kDb + "/" + kOther, "/system.slice/ssh.service"});
    made.machine.pods = {pod("web-0", web), pod("db-0", db, "other-uid", {kOther})};
    return made;
}

TEST(PolicySteering, APodThatOptedOutIsLeftAloneInsideTheSteeredOnes) {
    auto now = two_pods(false, {}).with(true);
    EXPECT_EQ(now.paths, (std::map<std::string, steer_workload>{{"/kubepods", STEER_WORKLOAD_STEER},
                                                                {kWeb, STEER_WORKLOAD_LEAVE}}));
    EXPECT_FALSE(is_steered(now, kWeb + "/" + kId));
    EXPECT_TRUE(is_steered(now, kDb + "/" + kOther));
    EXPECT_FALSE(is_steered(now, "/system.slice/ssh.service"));
    EXPECT_EQ(now.ids.size(), now.paths.size());
}

TEST(PolicySteering, WithDefaultOffOnlyPodsThatOptedInAreSteered) {
    auto now = two_pods(true, {}).with(false);
    EXPECT_EQ(now.paths, (std::map<std::string, steer_workload>{{"/kubepods", STEER_WORKLOAD_LEAVE},
                                                                {kWeb, STEER_WORKLOAD_STEER}}));
    EXPECT_TRUE(is_steered(now, kWeb + "/" + kId));
    EXPECT_FALSE(is_steered(now, kDb));
    // Not even those that nobody has told of yet, and others that `workloads` names are.
    EXPECT_FALSE(is_steered(now, "/kubepods/podnew/" + kOther));
    auto all = two_pods(true, {}).with(false, all_workloads());
    EXPECT_FALSE(is_steered(all, kDb));
    EXPECT_TRUE(is_steered(all, "/system.slice/ssh.service"));
}

TEST(PolicySteering, AnAnnotationHoldsWhateverWorkloadsSays) {
    std::vector<Workload> none{{WorkloadKind::cgroup, "/tenants"}};
    auto now = two_pods(true, {}).with(true, none);
    EXPECT_TRUE(is_steered(now, kWeb));
    EXPECT_FALSE(is_steered(now, kDb));
    EXPECT_FALSE(is_steered(two_pods(false, {}).with(true, all_workloads()), kWeb));
}

TEST(PolicySteering, NothingIsWrittenThatIsSoAnyway) {
    EXPECT_EQ(two_pods(true, true).with(true).paths.size(), 1U);
    EXPECT_EQ(two_pods(false, false).with(false).paths.size(), 1U);
    EXPECT_EQ(two_pods({}, {}).with(true).paths.size(), 1U);
}

TEST(PolicySteering, APodWithoutAKubeletHasAnEntryForEachContainer) {
    Machine machine;
    auto scope = [](const std::string& id) {
        return "/system.slice/cri-containerd-" + id + ".scope";
    };
    machine.cgroups = tree({scope(kId), scope(kOther)});
    machine.pods = {pod("web-0", false, "u", {kId, kOther})};
    auto now = steering({container_cgroups(), true}, machine);
    EXPECT_FALSE(is_steered(now, scope(kId)));
    EXPECT_FALSE(is_steered(now, scope(kOther)));
    machine.pods = {pod("web-0", {}, "u", {kId, kOther})};
    EXPECT_TRUE(is_steered(steering({container_cgroups(), true}, machine), scope(kId)));
    EXPECT_FALSE(is_steered(steering({container_cgroups(), false}, machine), scope(kId)));
}

TEST(PolicyPodSelectors, ByNameNamespaceAndLabel) {
    auto web = pod("web-0");
    auto names = [&web](const char* text) {
        auto workload = parse_workload(text);
        return workload && names_pod(*workload, web);
    };
    for (const char* text : {"pod:shop/web-0", "pod:shop/web-*", "pod:*/web-?", "pod:*/*",
                             "namespace:shop", "label:app=web", "label:tier="}) {
        EXPECT_TRUE(names(text)) << text;
    }
    for (const char* text : {"pod:shop/web", "pod:bank/web-0", "namespace:sho", "label:app=we",
                             "label:app=", "label:zone=", "cgroup:/kubepods", "uid:0"}) {
        EXPECT_FALSE(names(text)) << text;
    }
}

TEST(PolicyPodSelectors, WhatIsNoSelectorIsRefused) {
    for (const char* text : {"pod:web-0", "pod:/web", "pod:shop/", "pod:a/b/c", "pod:shop/we b",
                             "namespace:", "namespace:a/b", "namespace:*", "label:app", "label:=x",
                             "label:a b=c", "label:a=b c"}) {
        auto workload = parse_workload(text);
        ASSERT_FALSE(workload) << text;
        EXPECT_NE(workload.error().message.find(": write "), std::string::npos)
            << workload.error().message;
    }
    EXPECT_EQ(to_string(*parse_workload("label:kubernetes.io/app=web")),
              "label:kubernetes.io/app=web");
}

TEST(PolicyPodSelectors, BecomeControlGroups) {
    Machine machine = two_pods({}, {}).machine;
    std::vector<NamedWorkload> workloads{{*parse_workload("pod:shop/web-*"), 1, false},
                                         {*parse_workload("namespace:shop"), 2, false},
                                         {*parse_workload("cgroup:/kubepods"), 3, false},
                                         {*parse_workload("pod:bank/*"), 4, true}};
    EXPECT_TRUE(depends_on_machine(workloads));
    auto subjects = members(workloads, machine);
    std::map<std::uint64_t, std::set<std::uint32_t>> chains;
    for (const auto& [subject, chain] : subjects) {
        EXPECT_EQ(subject.kind, STEER_SUBJECT_CGROUP);
        EXPECT_EQ(chain.never, 0);
        chains[subject.number] = {chain.id, chain.id + chain.count};
    }
    auto id = [&machine](const std::string& path) {
        for (const auto& cgroup : machine.cgroups) {
            if (cgroup.path == path) {
                return cgroup.id;
            }
        }
        return std::uint64_t{0};
    };
    EXPECT_EQ(chains, (std::map<std::uint64_t, std::set<std::uint32_t>>{
                          {id("/kubepods"), {3}}, {id(kWeb), {1, 2, 3}}, {id(kDb), {2, 3}}}));
    machine.pods.clear();
    EXPECT_EQ(members(workloads, machine).size(), 1U);
}

}  // namespace
}  // namespace smc_steer
