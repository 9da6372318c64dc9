from sfumato.studies import demo


def test_a_small_demo_measures_what_it_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "ALPHAS", (0.0, 0.6))
    monkeypatch.setattr(demo, "BETAS", (0.0, 0.6))
    monkeypatch.setattr(demo, "CERTIFIED_IMAGES", 3)
    monkeypatch.setattr(demo, "PLAN", demo.Fixed(100, 200))
    monkeypatch.setattr(demo, "_EPOCHS", 5)
    steps = []
    result = demo.run_demo(tmp_path, device="cpu", on_step=lambda: steps.append(1))
    assert set(result.risks) == {(0.0, 0.0), (0.0, 0.6), (0.6, 0.0), (0.6, 0.6)}
    best = result.best_alpha(0.6)
    assert result.risks[best, 0.6].errors == min(r.errors for (_, b), r in result.risks.items() if b == 0.6)
    assert set(result.certificates) == {best, 0.6}
    again = demo.run_demo(tmp_path, device="cpu")
    assert again.risks == result.risks
    rows, same = (r.certificates[0.6] for r in (result, again))
    assert [c.predict for c in rows] == [c.predict for c in same]
